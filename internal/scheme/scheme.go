// Package scheme picks what opens a URL from a list of values, and never prints the URL: it may hold a password.
package scheme

import (
	"net/url"
	"slices"
	"strings"

	"github.com/eventflow-go/eventflow"
)

// Parse parses an absolute URL. Its error names the field and says what is allowed; unlike that of [url.Parse] it
// repeats no part of the URL, not even the port or the escape that is wrong.
func Parse(field, rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	switch {
	case rawURL == "":
		return nil, &eventflow.ConfigError{Field: field, Allowed: "a URL, such as memory://"}
	case err != nil:
		// The cause is left out on purpose: it quotes what it stumbled over, which is often the password.
		return nil, &eventflow.ConfigError{
			Field: field, Value: hidden,
			Allowed: "a URL whose user, password and path are percent-encoded and whose port is a number",
		}
	case u.Scheme == "":
		return nil, &eventflow.ConfigError{Field: field, Value: hidden, Allowed: "a URL that begins with a scheme, such as memory://"}
	}
	return u, nil
}

// hidden stands for a value that is not shown.
const hidden = "(not shown)"

// Pick gives the first of schemes that has the URL's scheme among its names; url.Parse has made that lower case, and
// names are compared without regard to case. The error lists the names of all.
func Pick[S any](field string, u *url.URL, schemes []S, names func(S) []string) (S, error) {
	var known []string
	for _, s := range schemes {
		ns := names(s)
		if slices.ContainsFunc(ns, func(n string) bool { return strings.EqualFold(n, u.Scheme) }) {
			return s, nil
		}
		known = append(known, ns...)
	}
	allowed := "no scheme was given: pass the Scheme of its package"
	if len(known) > 0 {
		allowed = "one of the schemes given: " + strings.Join(known, ", ")
	}
	var none S
	return none, &eventflow.ConfigError{Field: field, Value: u.Scheme, Allowed: allowed}
}
