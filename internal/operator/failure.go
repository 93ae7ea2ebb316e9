package operator

import "restante/api"

// Describe tells in one line what could not be pruned, and why.
func Describe(f api.PruneFailure) string {
	text := string(f.Kind) + " " + f.Key
	if f.Kind == api.PruneFailureKindList {
		text = "the list of what is stale (" + f.Key + ")"
	}
	if f.App != nil {
		text += " of " + *f.App
	}
	text += ": " + string(f.Error)
	if f.Detail != nil && *f.Detail != "" {
		text += ", " + *f.Detail
	}
	return text
}
