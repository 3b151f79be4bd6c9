package resource

// Labels of secrets that hold a token of a service account (KEP-2799). Both say a
// day, in LegacyTokenDay's form and UTC.
const (
	LegacyTokenLastUsed     = "kubernetes.io/legacy-token-last-used"
	LegacyTokenInvalidSince = "kubernetes.io/legacy-token-invalid-since"
	LegacyTokenDay          = "2006-01-02"
)
