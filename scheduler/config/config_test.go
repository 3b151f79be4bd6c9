package config

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	configv1 "k8s.io/kube-scheduler/config/v1"
	"sigs.k8s.io/yaml"

	"github.com/skiff-sh/skiff/scheduler"
	"github.com/skiff-sh/skiff/scheduler/plugin"
)

const head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"

// shown is a profile as text: names, and weights of scores.
func shown(p scheduler.Profile) string {
	var filters, scores []string
	for _, f := range p.Filters {
		filters = append(filters, f.Name)
	}
	for _, s := range p.Scores {
		scores = append(scores, fmt.Sprintf("%s=%d", s.Name, s.Weight))
	}
	return fmt.Sprintf("%s filters %s scores %s preempts %t", p.SchedulerName, strings.Join(filters, " "), strings.Join(scores, " "), p.Preempts)
}

func TestNothingSaidIsTheDefault(t *testing.T) {
	for _, text := range []string{"", "profiles: [{}]", "profiles: [{schedulerName: default-scheduler}]\npercentageOfNodesToScore: 50\nparallelism: 4\nleaderElection: {leaderElect: true}",
		"profiles: [{plugins: {multiPoint: {enabled: [{name: DefaultBinder}]}, queueSort: {enabled: [{name: PrioritySort}]}}}]"} {
		got, err := Parse([]byte(head + text))
		if err != nil || len(got) != 1 || shown(got[0]) != shown(scheduler.DefaultProfile()) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestPlugins(t *testing.T) {
	for _, test := range []struct{ name, plugins, want string }{
		{"nothing", "filter: {disabled: [{name: NodePorts}]}, multiPoint: {disabled: [{name: '*'}]}",
			"p filters  scores  preempts false"},
		{"only these", "multiPoint: {disabled: [{name: '*'}], enabled: [{name: NodeName}, {name: ImageLocality, weight: 7}]}",
			"p filters NodeName scores ImageLocality=7 preempts false"},
		{"a point goes before all", "multiPoint: {disabled: [{name: '*'}], enabled: [{name: TaintToleration}]}, score: {disabled: [{name: TaintToleration}]}",
			"p filters TaintToleration scores  preempts false"},
		{"enabling goes before disabling", "multiPoint: {disabled: [{name: '*'}]}, score: {disabled: [{name: '*'}], enabled: [{name: NodeAffinity}]}",
			"p filters  scores NodeAffinity=1 preempts false"},
		{"a weight of the point", "multiPoint: {disabled: [{name: '*'}], enabled: [{name: NodeAffinity, weight: 3}]}, score: {enabled: [{name: NodeAffinity, weight: 5}]}",
			"p filters NodeAffinity scores NodeAffinity=5 preempts false"},
		{"preemption", "multiPoint: {disabled: [{name: '*'}]}, postFilter: {enabled: [{name: DefaultPreemption}]}",
			"p filters  scores  preempts true"},
		{"both steps", "multiPoint: {disabled: [{name: '*'}], enabled: [{name: PodTopologySpread, weight: 1}]}, preScore: {disabled: [{name: PodTopologySpread}]}, score: {disabled: [{name: PodTopologySpread}]}",
			"p filters PodTopologySpread scores  preempts false"},
	} {
		got, err := Parse([]byte(head + "profiles: [{schedulerName: p, plugins: {" + test.plugins + "}}]"))
		if err != nil || shown(got[0]) != test.want {
			t.Errorf("%s: %v, %v; want %s", test.name, got, err, test.want)
		}
	}
}

func TestArguments(t *testing.T) {
	profiles, err := Parse([]byte(head + `
profiles:
- schedulerName: a
- schedulerName: b
  plugins: {multiPoint: {disabled: [{name: ImageLocality}]}}
`))
	if err != nil || len(profiles) != 2 || profiles[1].SchedulerName != "b" || len(profiles[1].Scores) != len(profiles[0].Scores)-1 {
		t.Fatalf("%v, %v", profiles, err)
	}
	at, err := parseArgs(t, `
- name: NodeAffinity
  args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: Exists}]}]}}}
- name: PodTopologySpread
  args: {apiVersion: kubescheduler.config.k8s.io/v1, kind: PodTopologySpreadArgs, defaultingType: List, defaultConstraints: [{maxSkew: 2, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]}
- name: NodeResourcesFit
  args: {ignoredResources: [a/b], scoringStrategy: {type: RequestedToCapacityRatio, resources: [{name: cpu, weight: 3}, {name: memory}], requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]}}}
- name: InterPodAffinity
  args: {hardPodAffinityWeight: 5, ignorePreferredTermsOfExistingPods: true}
- name: DefaultPreemption
  args: {minCandidateNodesPercentage: 5}
- name: VolumeBinding
  args: {bindTimeoutSeconds: 600}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := plugin.FitOptions{IgnoredResources: []string{"a/b"}, Strategy: plugin.RequestedToCapacityRatio,
		Resources: []plugin.Weighted{{Resource: "cpu", Weight: 3}, {Resource: "memory", Weight: 1}}, Shape: []plugin.Point{{Utilization: 0, Score: 0}, {Utilization: 100, Score: 10}}}
	if fmt.Sprint(at.Fit) != fmt.Sprint(want) || at.PodAffinity != (plugin.PodAffinityOptions{HardWeight: 5, IgnorePreferred: true}) ||
		at.Spread.System || len(at.Spread.Default) != 1 || at.Spread.Default[0].WhenUnsatisfiable != corev1.DoNotSchedule || at.AddedAffinity == nil {
		t.Errorf("%+v", at)
	}
}

func parseArgs(t *testing.T, text string) (plugin.Options, error) {
	t.Helper()
	var list []configv1.PluginConfig
	if err := yaml.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	o, errs := options(field.NewPath("pluginConfig"), list)
	return o, errs.ToAggregate()
}

// Every mistake is named with its field and its value, all at once.
func TestMistakes(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"kind: Pod\napiVersion: v1\n", []string{`apiVersion: Unsupported value: "v1": supported values: "kubescheduler.config.k8s.io/v1"`, `kind: Unsupported value: "Pod"`}},
		{head + "profiels: []", []string{`unknown field "profiels"`}},
		{head + "profiles: [{plugins: {filters: {}}}]", []string{`unknown field "profiles[0].plugins.filters"`}},
		{head + "profiles: [{}, {schedulerName: a}, {schedulerName: a}]", []string{"profiles[0].schedulerName: Required value", `profiles[2].schedulerName: Duplicate value: "a"`}},
		{head + "percentageOfNodesToScore: 101\nparallelism: 0\npodMaxBackoffSeconds: 3\nextenders: [{urlPrefix: x}]", []string{
			"percentageOfNodesToScore: Invalid value: 101", "parallelism: Invalid value: 0", "podMaxBackoffSeconds: Invalid value: 3", "extenders: Forbidden"}},
		{head + "profiles: [{plugins: {score: {enabled: [{name: Foo}, {name: NodeName}, {name: ImageLocality, weight: -1}]}}}]", []string{
			`profiles[0].plugins.score.enabled[0].name: Unsupported value: "Foo": supported values: `, `profiles[0].plugins.score.enabled[1].name: Unsupported value: "NodeName"`,
			"profiles[0].plugins.score.enabled[2].weight: Invalid value: -1"}},
		{head + "profiles: [{plugins: {multiPoint: {disabled: [{name: Foo}, {name: DefaultBinder}]}, preFilter: {disabled: [{name: NodePorts}]}}}]", []string{
			`profiles[0].plugins.multiPoint.disabled[0].name: Unsupported value: "Foo"`, "profiles[0].plugins.multiPoint.disabled[1].name: Forbidden: DefaultBinder is part of",
			`profiles[0].plugins.preFilter.disabled[0].name: Invalid value: "NodePorts": here preFilter and filter are one step: disable it at filter too`}},
		{head + "profiles: [{pluginConfig: [{name: Foo}, {name: NodeAffinity, args: {x: 1}}, {name: NodeAffinity}]}]", []string{
			`profiles[0].pluginConfig[0].name: Unsupported value: "Foo"`, `profiles[0].pluginConfig[1].args: Invalid value: "{\"x\":1}": unknown field "x"`, `profiles[0].pluginConfig[2]: Duplicate value: "NodeAffinity"`}},
		{head + "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: [{maxSkew: 0, labelSelector: {}}, {}]}}]}]", []string{
			"args.defaultingType: Invalid value", "defaultConstraints[0].maxSkew: Invalid value: 0", "defaultConstraints[0].topologyKey: Required value",
			"defaultConstraints[0].whenUnsatisfiable: Unsupported value", "defaultConstraints[0].labelSelector: Forbidden", "defaultConstraints[1]: Duplicate value"}},
		{head + "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: RequestedToCapacityRatio}}}]}]", []string{"requestedToCapacityRatio.shape: Required value"}},
		{head + "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Best}}}]}]", []string{`scoringStrategy.type: Unsupported value: "Best"`}},
		{head + "profiles: [{pluginConfig: [{name: NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: Odd}]}]}}}}]}]",
			[]string{"addedAffinity.requiredDuringSchedulingIgnoredDuringExecution: Invalid value", "Odd"}},
		{"a: [", []string{"this is not YAML"}},
	} {
		_, err := Parse([]byte(test.text))
		if err == nil {
			t.Errorf("%q is taken", test.text)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q\ngives %v\nwithout %s", test.text, err, want)
			}
		}
	}
}
