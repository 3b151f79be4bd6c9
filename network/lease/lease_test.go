package lease

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func ranges(text string) []netip.Prefix {
	var out []netip.Prefix
	for w := range strings.FieldsSeq(text) {
		out = append(out, netip.MustParsePrefix(w))
	}
	return out
}

// Scripts: "+a" allocates for a, "-a" releases; answers are the addresses.
func TestAllocate(t *testing.T) {
	for _, c := range []struct{ name, ranges, script, want string }{
		{"in order, gateway left out", "10.1.0.0/24", "+a +b", "10.1.0.2 10.1.0.3"},
		{"a freed address is not given out at once", "10.1.0.0/24", "+a -a +b", "10.1.0.2 freed 10.1.0.3"},
		{"the search wraps around", "10.1.0.0/29", "+a +b +c +d +e -b +f +g", "10.1.0.2 10.1.0.3 10.1.0.4 10.1.0.5 10.1.0.6 freed 10.1.0.3 full"},
		{"broadcast address left out", "10.1.0.0/30", "+a +b", "10.1.0.2 full"},
		{"asking twice", "10.1.0.0/24", "+a +a +b", "10.1.0.2 10.1.0.2 10.1.0.3"},
		{"both families", "10.1.0.0/24 fd00::/120", "+a +b", "10.1.0.2,fd00::2 10.1.0.3,fd00::3"},
		{"one family full: neither is taken", "10.1.0.0/24 fd00::/126", "+a +b +c -a +d", "10.1.0.2,fd00::2 10.1.0.3,fd00::3 full freed 10.1.0.4,fd00::2"},
		{"releasing nothing", "10.1.0.0/24", "-a", "nothing"},
		{"end of the address space", "255.255.255.0/24", "+a", "255.255.255.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := play(t, ranges(c.ranges), c.script); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func play(t *testing.T, rs []netip.Prefix, script string) string {
	var table Table
	var out []string
	for w := range strings.FieldsSeq(script) {
		o := Owner{w[1:], "eth0"}
		answer := "nothing"
		if w[0] == '-' {
			if table.Release(o) {
				answer = "freed"
			}
		} else if l, err := table.Allocate(o, rs); err != nil {
			if full := new(FullError); !errors.As(err, &full) {
				t.Fatal(err)
			}
			answer = "full"
		} else {
			answer = strings.Trim(strings.ReplaceAll(fmt.Sprint(l.Addrs), " ", ","), "[]")
		}
		out = append(out, answer)
	}
	return strings.Join(out, " ")
}

// Random requests against the rule itself: no address twice, all in range,
// full only when all are held; and the text form loses nothing.
func TestRandomRequests(t *testing.T) {
	rs := ranges("10.1.0.0/27 fd00::/64")
	rnd := rand.New(rand.NewPCG(1, 2))
	var table Table
	for range 5000 {
		o := Owner{fmt.Sprint("c", rnd.IntN(40)), "eth0"}
		if rnd.IntN(3) == 0 {
			table.Release(o)
		} else if _, err := table.Allocate(o, rs); err != nil && len(table.Leases) != 29 {
			t.Fatalf("%v with %d leases", err, len(table.Leases))
		}
		seen := map[netip.Addr]bool{Gateway(rs[0]): true, Gateway(rs[1]): true}
		for _, l := range table.Leases {
			for i, a := range l.Addrs {
				if seen[a] || !usable(rs[i], a) {
					t.Fatalf("address %s is held twice or unusable", a)
				}
				seen[a] = true
			}
		}
		again, err := Parse(table.String())
		if err != nil || again.String() != table.String() {
			t.Fatalf("text form: %v", err)
		}
		table = again
	}
}

func TestKeep(t *testing.T) {
	var table Table
	for _, name := range []string{"a", "b", "c"} {
		if _, err := table.Allocate(Owner{name, "eth0"}, ranges("10.1.0.0/24")); err != nil {
			t.Fatal(err)
		}
	}
	freed := table.Keep(func(o Owner) bool { return o.Container == "b" })
	if len(freed) != 2 || len(table.Leases) != 1 || table.Leases[0].Owner.Container != "b" {
		t.Errorf("freed %v, kept %v", freed, table.Leases)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("last 10.1.0.2\nc eth0 10.1.0.2 fd00::2\n")
	f.Add("")
	f.Add("last\nc eth0\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(table.String()); err != nil || again.String() != table.String() {
			t.Errorf("%q does not survive: %v", text, err)
		}
	})
}
