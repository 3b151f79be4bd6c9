package main

import "regexp"

// exception is a difference that stays, with its reason in
// docs/compatibility.md under the same name.
type exception struct {
	name string
	kind *regexp.Regexp // nil = any
	verb *regexp.Regexp // nil = any
	// cause matches the cause of the difference.
	cause *regexp.Regexp
}

// exceptions are the differences that stay. TestExceptions holds
// docs/compatibility.md to the same list.
var exceptions = []exception{
	{name: "version", kind: regexp.MustCompile(`^version$`), cause: regexp.MustCompile(`^body\.(git|build|go|compiler|platform|emulation|minCompat)`)},
	{name: "claim-phase", kind: regexp.MustCompile(`^persistentvolumeclaims(/status)?$`), cause: regexp.MustCompile(`^body\.(items\[\]\.)?metadata\.resourceVersion: ""  ≠  ""$`)},
	{name: "field-order", kind: regexp.MustCompile(`^podcertificaterequests\.`), verb: regexp.MustCompile(`^apply$`), cause: regexp.MustCompile(`^body\.message: failed to create typed patch object .*: field not declared in schema`)},
	{name: "daemonset-template", kind: regexp.MustCompile(`^daemonsets\.apps$`), cause: regexp.MustCompile(`^body\.rows\[\]\.object\.metadata\.annotations: only in Skiff$`)},
}

// explained tells whether a difference is one of the exceptions.
func explained(o outcome, d diff) bool {
	for _, e := range exceptions {
		if (e.kind == nil || e.kind.MatchString(o.kind)) && (e.verb == nil || e.verb.MatchString(o.verb)) && e.cause.MatchString(d.Cause) {
			return true
		}
	}
	return false
}
