package containerd

import (
	"strings"
	"testing"
)

func whole() Config {
	return Config{
		Root: "/var/lib/skiff/containerd", State: "/run/skiff/containerd", Bin: "/opt/skiff",
		CNIBin: "/opt/skiff/cni", CNIConf: "/run/skiff/cni", PauseImage: "skiff.local/pause:1",
	}
}

func TestValidateNamesFieldValueAndMend(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"whole", func(*Config) {}, ""},
		{"relative", func(c *Config) { c.Root = "x" }, `Root: "x" is not an absolute path; give one`},
		{"quote", func(c *Config) { c.Bin = "/a'b" }, `Bin: "/a'b" holds a quote`},
		{"no pause", func(c *Config) { c.PauseImage = "" }, "PauseImage: empty; name the image"},
		{"long", func(c *Config) { c.State = "/" + strings.Repeat("a", 45) }, "6 bytes too long for the sockets below it; choose a shorter"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := whole()
			c.change(&cfg)
			err := cfg.Validate()
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestRenderFollowsTheHost(t *testing.T) {
	for _, c := range []struct {
		host Host
		want []string
		not  []string
	}{
		{Host{}, []string{"restrict_oom_score_adj = true"}, []string{"oom_score = -999"}},
		{Host{LowersOOMScores: true}, []string{"oom_score = -999", "restrict_oom_score_adj = false"}, nil},
	} {
		text, err := whole().render(c.host)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("%+v: no %q in\n%s", c.host, w, text)
			}
		}
		for _, w := range c.not {
			if strings.Contains(text, w) {
				t.Errorf("%+v: %q in\n%s", c.host, w, text)
			}
		}
	}
}
