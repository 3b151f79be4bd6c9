package scheduling

import "testing"

func BenchmarkCore(b *testing.B) {
	for _, c := range Cases() {
		b.Run(c.Name, func(b *testing.B) {
			for b.Loop() {
				rate, err := c.Measure(5000)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(rate, "pods/s")
			}
		})
	}
}

// TestCases places the pods of each case on a few nodes.
func TestCases(t *testing.T) {
	for _, c := range Cases() {
		if _, err := c.Measure(30); err != nil {
			t.Error(err)
		}
	}
}
