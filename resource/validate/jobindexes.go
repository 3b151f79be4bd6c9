package validate

import (
	"fmt"
	"strconv"
	"strings"
)

// indexes reads a list of indexes such as "1,3-5" and returns how many it names.
func indexes(text string, completions int32) (int32, error) {
	if text == "" {
		return 0, nil
	}
	total, last := int32(0), int32(-1)
	for i, part := range strings.Split(text, ",") {
		from, to, err := interval(part, completions)
		if err != nil {
			return 0, err
		}
		if i > 0 && last >= from {
			return 0, fmt.Errorf("non-increasing order, previous: %d, current: %d", last, from)
		}
		total, last = total+to-from+1, to
	}
	return total, nil
}

// interval reads "3" or "3-5".
func interval(text string, completions int32) (from, to int32, err error) {
	limits := strings.Split(text, "-")
	if len(limits) > 2 {
		return 0, 0, fmt.Errorf("the fragment %q violates the requirement that an index interval can have at most two parts separated by '-'", text)
	}
	var ends [2]int32
	for i, limit := range limits {
		n, err := strconv.Atoi(limit)
		if err != nil {
			return 0, 0, fmt.Errorf("cannot convert string to integer for index: %q", limit)
		}
		if n >= int(completions) {
			return 0, 0, fmt.Errorf("too large index: %q", limit)
		}
		ends[i] = int32(n)
	}
	if len(limits) == 1 {
		return ends[0], ends[0], nil
	}
	if ends[0] >= ends[1] {
		return 0, 0, fmt.Errorf("non-increasing order, previous: %d, current: %d", ends[0], ends[1])
	}
	return ends[0], ends[1], nil
}

// overlap returns an index that two ordered lists share. Parts that cannot be
// read are reported elsewhere.
func overlap(completed, failed string, completions int32) (int32, bool) {
	a, b := intervals(completed, completions), intervals(failed, completions)
	for len(a) > 0 && len(b) > 0 {
		switch x, y := a[0], b[0]; {
		case x[0] <= y[1] && y[0] <= x[1]:
			return max(x[0], y[0]), true
		case x[0] <= y[0]:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return 0, false
}

func intervals(text string, completions int32) [][2]int32 {
	var out [][2]int32
	for part := range strings.SplitSeq(text, ",") {
		if from, to, err := interval(part, completions); err == nil {
			out = append(out, [2]int32{from, to})
		}
	}
	return out
}
