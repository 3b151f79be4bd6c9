package job

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// indexes is a set of completion indexes: spans in order that neither touch nor
// overlap.
type indexes []span

// span is the indexes from first to last, both included.
type span struct{ first, last int }

// parseIndexes reads a text as "1,3-5,7". What is not below limit, or makes no
// sense, is left out: users may write to the status.
func parseIndexes(text string, limit int) indexes {
	var spans []span
	for part := range strings.SplitSeq(text, ",") {
		from, to, isSpan := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		last := first
		if isSpan {
			if last, err = strconv.Atoi(to); err != nil {
				continue
			}
		}
		if last = min(last, limit-1); first <= last {
			spans = append(spans, span{first, last})
		}
	}
	return join(spans)
}

// join returns the set of the indexes in spans, which it sorts.
func join(spans []span) indexes {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	var set indexes
	for _, s := range spans {
		if n := len(set); n > 0 && s.first <= set[n-1].last+1 {
			set[n-1].last = max(set[n-1].last, s.last)
			continue
		}
		set = append(set, s)
	}
	return set
}

// union returns the indexes that are in x or in y.
func (x indexes) union(y indexes) indexes { return join(slices.Concat(x, y)) }

// with returns x and more.
func (x indexes) with(more []int) indexes {
	spans := slices.Clone(x)
	for _, i := range more {
		spans = append(spans, span{i, i})
	}
	return join(spans)
}

// len returns how many indexes there are.
func (x indexes) len() int {
	n := 0
	for _, s := range x {
		n += s.last - s.first + 1
	}
	return n
}

func (x indexes) has(i int) bool {
	_, found := slices.BinarySearchFunc(x, i, func(s span, i int) int {
		switch {
		case s.last < i:
			return -1
		case s.first > i:
			return 1
		}
		return 0
	})
	return found
}

// common returns how many indexes are in both.
func (x indexes) common(y indexes) int {
	n := 0
	for i, j := 0, 0; i < len(x) && j < len(y); {
		n += max(0, min(x[i].last, y[j].last)-max(x[i].first, y[j].first)+1)
		if x[i].last < y[j].last {
			i++
		} else {
			j++
		}
	}
	return n
}

// missing returns the first n indexes below limit that are not in x.
func (x indexes) missing(n, limit int) []int {
	var out []int
	next := 0
	for _, s := range append(slices.Clone(x), span{limit, limit}) {
		for ; next < min(s.first, limit) && len(out) < n; next++ {
			out = append(out, next)
		}
		next = max(next, s.last+1)
	}
	return out
}

// String is the form of the status: "1,3-5,7"; two neighbours are "3,4".
func (x indexes) String() string {
	var b strings.Builder
	for _, s := range x {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(s.first))
		switch s.last - s.first {
		case 0:
		case 1:
			b.WriteString("," + strconv.Itoa(s.last))
		default:
			b.WriteString("-" + strconv.Itoa(s.last))
		}
	}
	return b.String()
}
