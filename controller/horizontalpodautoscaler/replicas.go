package horizontalpodautoscaler

import (
	"errors"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// tolerance is how far from 1 the ratio of use to target may be, each way, before
// anything is done about it.
type tolerance struct{ down, up float64 }

func (t tolerance) holds(ratio float64) bool { return 1-t.down <= ratio && ratio <= 1+t.up }

// fleet is the pods whose number is asked for.
type fleet struct {
	asked     int32 // spec.replicas of the scale
	there     int32 // status.replicas of the scale
	pods      []*corev1.Pod
	tolerance tolerance
	now       time.Time
}

// load is the use by pods, seen together.
type load struct {
	ratio   float64 // to the target
	percent int32   // of what the pods ask for, where the target is that
	average int64   // of a pod, in thousandths
}

var (
	errNoPods    = errors.New("no pods returned by selector while calculating replica count")
	errNoSamples = errors.New("did not receive metrics for targeted pods (pods might be unready)")
	errNoMatch   = errors.New("no metrics returned matched known pods")
)

// byUtilization returns how many pods would use percent of what they ask for. It
// takes have for itself.
func (f fleet) byUtilization(have map[string]Sample, percent int32, name corev1.ResourceName, container string) (int32, load, error) {
	g, err := f.group(have, name == corev1.ResourceCPU)
	if err != nil {
		return 0, load{}, err
	}
	asks, err := requests(f.pods, container, name)
	if err != nil {
		return 0, load{}, err
	}
	weigh := func(have map[string]Sample) (load, error) { return utilization(have, asks, percent) }
	return f.follow(have, g, weigh, func(pod string) int64 { return asks[pod] * int64(max(100, percent)) / 100 })
}

// byAverage returns how many pods would each have the value target. It takes have
// for itself.
func (f fleet) byAverage(have map[string]Sample, target int64, name corev1.ResourceName) (int32, load, error) {
	g, err := f.group(have, name == corev1.ResourceCPU)
	if err != nil {
		return 0, load{}, err
	}
	weigh := func(have map[string]Sample) (load, error) {
		sum := int64(0)
		for _, s := range have {
			sum += s.Value
		}
		average := sum / int64(len(have))
		return load{ratio: float64(average) / float64(target), average: average}, nil
	}
	return f.follow(have, g, weigh, func(string) int64 { return target })
}

// group sorts the pods and takes from have what says nothing of the load.
func (f fleet) group(have map[string]Sample, cpu bool) (group, error) {
	if len(f.pods) == 0 {
		return group{}, errNoPods
	}
	g, over := groupOf(f.pods, have, cpu, f.now)
	for _, names := range [][]string{over, g.unready} {
		for _, name := range names {
			delete(have, name)
		}
	}
	if len(have) == 0 {
		return group{}, errNoSamples
	}
	return g, nil
}

func utilization(have map[string]Sample, asks map[string]int64, percent int32) (load, error) {
	used, asked, n := int64(0), int64(0), int64(0)
	for pod, s := range have {
		if ask, known := asks[pod]; known {
			used, asked, n = used+s.Value, asked+ask, n+1
		}
	}
	if asked == 0 {
		return load{}, errNoMatch
	}
	l := load{percent: int32(used * 100 / asked), average: used / n}
	l.ratio = float64(l.percent) / float64(percent)
	return l, nil
}

// follow returns the number of pods for the load that weigh finds. Pods whose load
// is not known are taken for what makes the change smaller: idle where more pods
// are wanted, using full where fewer are. If that turns the direction, nothing is
// changed.
func (f fleet) follow(have map[string]Sample, g group, weigh func(map[string]Sample) (load, error), full func(pod string) int64) (int32, load, error) {
	seen, err := weigh(have)
	if err != nil {
		return 0, load{}, err
	}
	idle := len(g.unready) > 0 && seen.ratio > 1
	if !idle && len(g.missing) == 0 {
		if f.tolerance.holds(seen.ratio) {
			return f.asked, seen, nil
		}
		return ceil(seen.ratio * float64(g.ready)), seen, nil
	}
	for _, pod := range g.missing {
		if seen.ratio < 1 {
			have[pod] = Sample{Value: full(pod)}
		} else if seen.ratio > 1 {
			have[pod] = Sample{}
		}
	}
	if idle {
		for _, pod := range g.unready {
			have[pod] = Sample{}
		}
	}
	likely, err := weigh(have)
	if err != nil {
		return 0, seen, err
	}
	n, down, up := ceil(likely.ratio*float64(len(have))), likely.ratio < 1, likely.ratio > 1
	turned := seen.ratio < 1 && up || seen.ratio > 1 && down || down && n > f.asked || up && n < f.asked
	if turned || f.tolerance.holds(likely.ratio) {
		return f.asked, seen, nil
	}
	return n, seen, nil
}

// byValue returns how many pods would bring a value that all share to target.
// Without pods a load of target wants one.
func (f fleet) byValue(value, target int64) (int32, error) {
	ratio := float64(value) / float64(target)
	switch {
	case f.asked == 0:
		return ceil(ratio), nil
	case f.tolerance.holds(ratio):
		return f.asked, nil
	case len(f.pods) == 0:
		// Told of in two steps, since upstream's text has both.
		return 0, errors.New("unable to calculate ready pods: " + errNoPods.Error())
	}
	return ceil(ratio * float64(readyPods(f.pods))), nil
}

// byShare returns how many pods would each have target of a value, and how much
// each of those there has.
func (f fleet) byShare(value, target int64) (int32, int64) {
	n := f.there
	if !f.tolerance.holds(float64(value) / (float64(target) * float64(n))) {
		n = ceil(float64(value) / float64(target))
	}
	share := math.Ceil(float64(value) / float64(f.there))
	switch {
	case share >= math.MaxInt64 || value == math.MaxInt64:
		return n, math.MaxInt64
	case f.there == 0: // 0 of 0
		return n, 0
	}
	return n, int64(share)
}

// total adds up series, as far as numbers go.
func total(series []int64) (sum int64) {
	for _, v := range series {
		if v > 0 && sum > math.MaxInt64-v {
			return math.MaxInt64
		}
		sum += v
	}
	return sum
}

func ceil(n float64) int32 { return int32(min(math.Ceil(n), math.MaxInt32)) }
