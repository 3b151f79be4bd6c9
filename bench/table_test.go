package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	var out strings.Builder
	printTable(&out, []line{
		{measure: "create", unit: perSecond, skiff: 6000, limit: 20000, goal: 8000, peer: 1500, note: "p99 9 ms"},
		{measure: "server processor, each", unit: seconds, skiff: 100e-6, limit: 50e-6, goal: 120e-6, peer: 1.1e-3, fine: true},
		{measure: "idle, RSS", unit: bytesOf, skiff: 1200 << 20, goal: 80 << 20, peer: 600 << 20},
		{measure: "whole node", unit: seconds, goal: 2, why: errors.New("needs root")},
	}, true)
	want := `
MEASURE                        SKIFF     LIMIT  OF LIMIT        GOAL  DISTANCE   UPSTREAM      SKIFF IS
create                       6,000/s  20,000/s     0.30×   ≥ 8,000/s  1.3× off    1,500/s   4.0× better  p99 9 ms
  server processor, each      100 µs     50 µs     2.00×    ≤ 120 µs       met     1.1 ms  11.0× better
idle, RSS                 1200.0 MiB                      ≤ 80.0 MiB   15× off  600.0 MiB    2.0× worse
whole node                                                  ≤ 2.00 s                                     not measured: needs root
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		unit  unit
		value float64
		want  string
	}{
		{perSecond, 1234567, "1,234,567/s"},
		{perSecond, 7.04, "7.0/s"},
		{seconds, 2.346, "2.35 s"},
		{seconds, 0.0456, "46 ms"},
		{seconds, 0.0045, "4.5 ms"},
		{seconds, 18.2e-6, "18 µs"},
		{seconds, 2.99e-6, "3.0 µs"},
		{bytesOf, 1 << 20, "1.0 MiB"},
		{percent, 0.425, "0.42 %"},
		{percent, 0, ""},
	} {
		if got := c.unit.text(c.value); got != c.want {
			t.Errorf("%v of unit %d: got %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestSummary(t *testing.T) {
	workers := []worker{{took: []time.Duration{3, 1}, size: 10}, {took: []time.Duration{2, 4}}}
	f, err := summary(workers, 2*time.Second, 8*time.Microsecond)
	if err != nil || f != (figure{rate: 2, p50: 3, p99: 4, cpu: 2 * time.Microsecond, size: 10}) {
		t.Errorf("got %+v, %v", f, err)
	}
	if _, err := summary([]worker{{err: errors.New("refused")}}, time.Second, 0); err == nil {
		t.Error("an error of a connection is lost")
	}
	if _, err := summary(make([]worker, 2), time.Second, 0); err == nil {
		t.Error("no operation is no figure")
	}
}

func TestSteps(t *testing.T) {
	said := "  API server ready            0.2 s\n  node bench Ready            0.5 s\ncluster \"bench\" is up; try this\n"
	if got := steps(said); got != "API server ready 0.2 s, node bench Ready 0.5 s" {
		t.Errorf("got %q", got)
	}
}
