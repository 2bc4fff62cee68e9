package eventflow

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const zonesAllowed = `a *time.Location of the IANA database, such as time.LoadLocation("Europe/Lisbon") gives, or time.UTC if you mean UTC`

// checkZone says what is wrong with the zone of a clock; clock is its constructor's name, hint more of what is allowed.
func checkZone(clock string, loc *time.Location, hint string) error {
	field := clock + " location"
	if loc == nil {
		return &ConfigError{Field: field, Value: "nil", Allowed: zonesAllowed + hint}
	}
	name := loc.String()
	if loc == time.Local || name == "Local" {
		return &ConfigError{Field: field, Value: "time.Local", Allowed: zonesAllowed + "; what Local is differs from machine to machine, so replicas would not agree"}
	}
	if !utf8.ValidString(name) || hasControl(name) {
		return &ConfigError{Field: field, Value: name, Allowed: "a name of UTF-8 without control characters"}
	}
	if offset, fixed := onlyOffset(loc); fixed && (offset <= -86400 || offset >= 86400) {
		return &ConfigError{Field: field, Value: (time.Duration(offset) * time.Second).String(), Allowed: "a zone less than a day from UTC"}
	}
	return nil
}

// loadZone is time.LoadLocation with an error that says what to do; field is for that error. Looking a zone up is all
// that this package ever asks of the system.
func loadZone(field, name string) (*time.Location, error) {
	if name == "" { // LoadLocation takes it for UTC
		return nil, &ConfigError{Field: field, Value: "", Allowed: "the name of a zone, such as Europe/Lisbon; UTC if you mean UTC"}
	}
	if name == "Local" {
		return nil, checkZone(strings.TrimSuffix(field, " location"), time.Local, "")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, &ConfigError{Field: field, Value: name, Allowed: `a zone of the IANA database, such as Europe/Lisbon; where the system has no database, import _ "time/tzdata"`}
	}
	return loc, nil
}

// onlyOffset gives the offset of a zone that never changes it.
func onlyOffset(loc *time.Location) (seconds int, ok bool) {
	t := time.Unix(0, 0).In(loc)
	start, end := t.ZoneBounds()
	_, seconds = t.Zone()
	return seconds, start.IsZero() && end.IsZero()
}

// zoneName tells zones apart. A zone of [time.FixedZone] says its offset too: its name is its maker's fancy. Such a name
// is quoted where it could be taken for something else. parseZone reads it back.
func zoneName(loc *time.Location) string {
	name := loc.String()
	offset, fixed := onlyOffset(loc)
	text := name
	if strings.ContainsAny(name, " \"=:()\u00a0\\") || strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) || name == "" && !fixed {
		text = strconv.Quote(name)
	}
	if known, ok := knownOffset(name); !fixed || ok && known == offset {
		return text
	}
	sign, size := "+", time.Unix(int64(offset), 0).UTC()
	if offset < 0 { // package time's own format loses the sign of less than a minute
		sign, size = "-", time.Unix(-int64(offset), 0).UTC()
	}
	if offset%60 != 0 {
		return text + sign + size.Format("15:04:05")
	}
	return text + sign + size.Format("15:04")
}

// knownOffset gives the offset of those zones of the IANA database that never change it.
func knownOffset(name string) (seconds int, ok bool) {
	name = strings.TrimPrefix(name, "Etc/")
	switch name {
	case "UTC", "GMT", "Zulu", "Universal", "Greenwich", "UCT", "GMT0":
		return 0, true
	case "EST": // these were zones of one offset up to release 2024a of the database, and are links to changing ones since
		return -5 * 3600, true
	case "MST":
		return -7 * 3600, true
	case "HST":
		return -10 * 3600, true
	}
	hours, found := strings.CutPrefix(name, "GMT")
	n, err := strconv.Atoi(hours)
	if !found || err != nil || n < -14 || n > 12 || strconv.Itoa(n) != strings.TrimPrefix(hours, "+") {
		return 0, false
	}
	return -n * 3600, true // by the database's sign, which is POSIX's
}

// parseZone reads what zoneName wrote; field is for errors.
func parseZone(field, text string) (*time.Location, error) {
	name, offset := text, ""
	if quoted, err := strconv.QuotedPrefix(text); err == nil {
		if name, err = strconv.Unquote(quoted); err != nil {
			return nil, &ConfigError{Field: field, Value: text, Allowed: "a zone's name"}
		}
		offset = text[len(quoted):]
	} else if i := strings.LastIndexAny(text, "+-"); i >= 0 && strings.Contains(text[i:], ":") {
		name, offset = text[:i], text[i:]
	}
	if offset == "" {
		return loadZone(field, name)
	}
	layout := "-07:00"
	if len(offset) > len(layout) {
		layout = "-07:00:00"
	}
	t, err := time.Parse(layout, offset)
	if err != nil {
		return nil, &ConfigError{Field: field, Value: text, Allowed: "a zone of the IANA database, or a name with an offset, such as CET+01:00"}
	}
	_, seconds := t.Zone()
	return time.FixedZone(name, seconds), nil
}
