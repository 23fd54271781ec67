package settings

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/doorward/doorward/server"
)

// Problem is one thing that is wrong, in the names of the configuration file.
type Problem struct {
	Line  int // 0: not of the file
	Field string
	Found string
	Want  string
}

// String says what is wrong and what to do.
func (p Problem) String() string {
	if p.Found == "" {
		return p.Field + ": " + p.Want
	}
	return p.Field + ": found " + p.Found + "; " + p.Want
}

// Problems are all the things that are wrong.
type Problems struct {
	File string // empty when there is no configuration file
	List []Problem
}

// Error lists the problems, one a line.
func (p *Problems) Error() string {
	lines := make([]string, len(p.List))
	for i, one := range p.List {
		lines[i] = one.String()
		if one.Line > 0 && p.File != "" {
			lines[i] = p.File + ":" + strconv.Itoa(one.Line) + ": " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) add(line int, field, found, want string) {
	p.List = append(p.List, Problem{Line: line, Field: field, Found: found, Want: want})
}

// addError notes an error of the system.
func (p *Problems) addError(line int, field string, err error, want string) {
	p.add(line, field, "", err.Error()+"; "+want)
}

func (p *Problems) sort() {
	slices.SortStableFunc(p.List, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}

// Explain turns the errors of package server into problems in the names of the
// configuration file, with their lines. Errors that are not about settings stay as
// they are.
func (s *Settings) Explain(err error) error {
	found := &Problems{}
	if len(s.Paths) > 0 {
		found.File = s.Paths[0]
	}
	for _, one := range flatten(err) {
		var p *server.Problem
		if !errors.As(one, &p) {
			return err
		}
		field := fileName(p.Field)
		found.add(s.at.line(field), field, p.Found, serverNames.Replace(p.Want))
	}
	if len(found.List) == 0 {
		return err
	}
	found.sort()
	return found
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if err == nil {
			return nil
		}
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, flatten(one)...)
	}
	return all
}

// serverNames gives the names of the file to what package server advises.
var serverNames = strings.NewReplacer(
	"Config.Scopes", "scopes", "set Config.DeviceGrant", "write device: true under features", "Config.Resources", "resources", "set Config.MutualTLS.Accept and Roots", "write accept: true and roots under mutual_tls", "set Config.MutualTLS.Accept", "write accept: true under mutual_tls", "Config.Keys.Algorithms", "keys.algorithms", "set Secret,", "write client_secret or client_secret_file,",
	"RefreshPolicy", "refresh_policy", "Clients().Delete with this entry left out", "idp client remove, with this entry left out",
)

var capital = regexp.MustCompile(`([a-z])([A-Z])`)

// fileName is the name in the file of a field of server.Config: Lifetimes.IDToken
// is lifetimes.id_token there.
func fileName(field string) string {
	path, rest, client := strings.Cut(field, ": ")
	path = strings.NewReplacer("IDToken", "IdToken", "MutualTLS", "mutual_tls", "JWKSURI", "jwks_uri", "JWKS", "jwks_file", "JWTAccess", "JwtAccess", "DefaultAudience", "default_audience", "Pages.Name", "name", "Pages.", "theme.", "Pages", "pages").Replace(path)
	label := ""
	if at := strings.IndexByte(path, ' '); at >= 0 {
		path, label = path[:at], path[at:]
	}
	path = strings.ToLower(capital.ReplaceAllString(path, "${1}_${2}"))
	path = strings.TrimSuffix(path, ".name")
	if client {
		return path + label + ": " + rest
	}
	return path + label
}

// quoted shows a value, cut where it is long.
func quoted(s string) string {
	if len(s) > 100 {
		return strconv.QuoteToASCII(s[:100]) + " ..."
	}
	return strconv.QuoteToASCII(s)
}

// places are the lines on which things stand in the configuration file, by the
// path of their names.
type places map[string]int

var clientLabel = regexp.MustCompile(` "[^"]*": `)

// line returns where a field stands, or what holds it; 0 when it is not in the file.
func (p places) line(field string) int {
	for path := pathOf(field); path != ""; {
		if n := p[path]; n > 0 {
			return n
		}
		at := strings.LastIndexAny(path, ".[")
		if at < 0 {
			return 0
		}
		path = path[:at]
	}
	return 0
}

// pathOf is a field without the label of its client: clients[0] "web": scope is
// clients[0].scope.
func pathOf(field string) string {
	return strings.ReplaceAll(clientLabel.ReplaceAllString(field, "."), ": ", ".")
}

// sameField says that two problems are about one value, or one about a part of it.
func sameField(a, b string) bool {
	a, b = pathOf(a), pathOf(b)
	return within(a, b) || within(b, a)
}

func within(part, whole string) bool {
	rest, ok := strings.CutPrefix(part, whole)
	return ok && (rest == "" || whole == "" || rest[0] == '.' || rest[0] == '[')
}

// wrong is an error of a value that can't be read.
func wrong(found, want string) error { return &valueError{found, want} }

type valueError struct{ found, want string }

func (e *valueError) Error() string { return fmt.Sprintf("found %s; %s", e.found, e.want) }

// Problem is one problem with a field, as an error.
func (s *Settings) Problem(field, found, want string) error {
	p := &Problems{}
	if len(s.Paths) > 0 {
		p.File = s.Paths[0]
	}
	p.add(s.at.line(field), field, found, want)
	return p
}
