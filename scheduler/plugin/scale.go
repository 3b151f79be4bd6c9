package plugin

import (
	"math"
	"slices"
)

// MaxScore is the best that one Score can give a node, before its weight.
const MaxScore = 100

// Scale is how a Score's values become 0…MaxScore.
type Scale uint8

// The scales.
const (
	AsIs     Scale = iota
	ToMax          // in proportion to the largest
	Reversed       // likewise, and the smallest is best
	Spread         // the smallest is best, by how far it is from the largest; Ignored gives 0
	Range          // the smallest gives 0 and the largest MaxScore
)

// Ignored is the value of a node that Spread does not compare.
const Ignored = -1

// Apply scales values in place.
func (s Scale) Apply(values []int64) {
	if len(values) == 0 {
		return
	}
	switch s {
	case AsIs:
	case ToMax, Reversed:
		proportion(values, s == Reversed)
	case Spread:
		spread(values)
	case Range:
		low, high := slices.Min(values), slices.Max(values)
		for i, v := range values {
			values[i] = 0
			if high > low {
				// In floating point as upstream: the last digit differs else.
				values[i] = int64(float64(MaxScore) * (float64(v-low) / float64(high-low)))
			}
		}
	}
}

func proportion(values []int64, reversed bool) {
	top := max(0, slices.Max(values))
	for i, v := range values {
		if top > 0 {
			v = v * MaxScore / top
		}
		if reversed {
			v = MaxScore - v
		}
		values[i] = v
	}
}

func spread(values []int64) {
	low, high := int64(math.MaxInt64), int64(0)
	for _, v := range values {
		if v != Ignored {
			low, high = min(low, v), max(high, v)
		}
	}
	for i, v := range values {
		switch {
		case v == Ignored:
			values[i] = 0
		case high == 0:
			values[i] = MaxScore
		default:
			values[i] = MaxScore * (high + low - v) / high
		}
	}
}
