package expression_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/expression"
)

func input() *expression.Input {
	return &expression.Input{
		Object: &corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Name: "m", Labels: map[string]string{"app": "shop"}},
			Data:       map[string]string{"replicas": "3"},
		},
		Request: &admissionv1.AdmissionRequest{Name: "m", Operation: admissionv1.Create},
	}
}

func TestConditions(t *testing.T) {
	cases := []struct {
		name  string
		texts []string
		match bool
		err   string
	}{
		{"none", nil, true, ""},
		{"object", []string{"object.metadata.name == 'm'"}, true, ""},
		{"one of two", []string{"true", "object.metadata.name != 'm'"}, false, ""},
		{"no old object", []string{"oldObject == null"}, true, ""},
		{"request", []string{"request.operation == 'CREATE'", "!has(request.namespace)"}, true, ""},
		{"kind", []string{"object.kind == 'ConfigMap'"}, true, ""},
		{"missing key", []string{"object.data.other == 'x'"}, false, "expression 'object.data.other == 'x'' resulted in error: no such key: other"},
		{"an error and one that fails", []string{"object.data.other == 'x'", "false"}, false, ""},
		{"does not compile", []string{"nonsense"}, false, "compilation error: "},
		{"too costly", []string{"[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, a+b+c+d+e+f > 0))))))"},
			false, "actual cost limit exceeded"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var all []admissionregistrationv1.MatchCondition
			for _, text := range c.texts {
				all = append(all, admissionregistrationv1.MatchCondition{Expression: text})
			}
			match, err := expression.CompileConditions(all, false).Match(context.Background(), input())
			if match != c.match || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("match %v, error %v; want %v, %q", match, err, c.match, c.err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	path := field.NewPath("expression")
	cases := []struct{ text, want string }{
		{"object.metadata.name == 'm'", ""},
		{" authorizer.group('').resource('pods').check('get').allowed() ", ""},
		{"'text'", "must evaluate to bool but got string"},
		{"params.x == 1", "undeclared reference to 'params'"},
		{"request.nothing == 1", "undefined field 'nothing'"},
		{"variables.x == 1", "undeclared reference to 'variables'"},
	}
	for _, c := range cases {
		err := expression.CheckCondition(path, c.text, false)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

// Variables are evaluated when they are asked for, once, and know earlier ones.
func TestVariables(t *testing.T) {
	s := expression.NewScope(true)
	k := expression.Knows{Authorizer: true}
	for _, v := range [][2]string{
		{"count", "int(object.data.replicas)"}, {"twice", "variables.count * 2"}, {"broken", "nonsense"}, {"fails", "object.data.other"},
	} {
		if err := s.Variable(v[0], v[1], k); (err != nil) != (v[0] == "broken") {
			t.Errorf("variable %s: %v", v[0], err)
		}
	}
	run := s.NewRun(context.Background(), input(), 10000)
	for _, c := range []struct{ text, err string }{
		{"variables.twice == 6", ""},
		{"variables.broken == 1", `composited variable "broken" fails to compile`},
		{"variables.fails == 'x'", `composited variable "fails" fails to evaluate: no such key: other`},
	} {
		p, err := s.Compile(c.text, k, cel.BoolType)
		if err != nil {
			t.Fatal(err)
		}
		value, err, fatal := run.Evaluate(p)
		if fatal != nil || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || err == nil && value.Value() != true {
			t.Errorf("%s: %v, %v, %v", c.text, value, err, fatal)
		}
	}
	if _, err := s.Compile("variables.count == 'x'", k, cel.BoolType); err == nil {
		t.Error("a variable's type is not checked")
	}
	if run.Left() >= 10000 {
		t.Error("nothing was paid for")
	}
}
