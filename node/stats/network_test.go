package stats

import "testing"

func TestInterfaces(t *testing.T) {
	list := interfaces(`Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    9       9    0    0    0     0          0         0     9       9    0    0    0     0       0          0
  eth0:  100       1    2    0    0     0          0         0   300       3    4    0    0     0       0          0
wlan0.1:1000000000 7    8    0    0     0          0         0     5       1    6    0    0     0       0          0
broken: 1 2 3
`)
	if len(list) != 2 {
		t.Fatalf("%d interfaces, want 2: %+v", len(list), list)
	}
	for i, want := range []struct {
		name string
		n    [4]uint64
	}{{"eth0", [4]uint64{100, 2, 300, 4}}, {"wlan0.1", [4]uint64{1000000000, 8, 5, 6}}} {
		got := list[i]
		if n := [4]uint64{*got.RxBytes, *got.RxErrors, *got.TxBytes, *got.TxErrors}; got.Name != want.name || n != want.n {
			t.Errorf("%s %v, want %s %v", got.Name, n, want.name, want.n)
		}
	}
}
