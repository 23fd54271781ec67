package server

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/doorward/doorward/handlers/pages"
)

// ErrInvalid is what every Problem is, for errors.Is.
var ErrInvalid = errors.New("server: invalid configuration")

// Problem is one thing that is wrong with a Config or a client. New and Clients
// report all they find at once, joined with errors.Join.
type Problem struct {
	// Field is the name in Config, as in Lifetimes.Code, or the name that
	// RFC 7591 gives to a client's metadata, as in redirect_uris[1]. In a
	// Config the latter stands after its client: Clients[0] "web": redirect_uris[1].
	Field string
	Found string // what was found there, with the reason why it can't stay
	Want  string // what to do: write ..., set ...
}

// Error names the field, what was found and what to write.
func (p *Problem) Error() string {
	return "server: " + p.Field + ": found " + p.Found + "; " + p.Want
}

// Is makes every Problem ErrInvalid.
func (p *Problem) Is(target error) bool { return target == ErrInvalid }

// problems gathers what is wrong.
type problems struct {
	at   string // stands before each field
	list []error
}

func (p *problems) add(field, found, want string, values ...any) {
	p.list = append(p.list, &Problem{Field: p.at + field, Found: found, Want: fmt.Sprintf(want, values...)})
}

// addPages gathers what package pages found; nil is nothing.
func (p *problems) addPages(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			p.addPages(one)
		}
		return
	}
	var field *pages.FieldError
	switch {
	case errors.As(err, &field):
		p.add("Pages."+field.Field, field.Found, "%s", field.Want)
	case err != nil:
		p.add("Pages", "what can't be used", "correct it: %s", err)
	}
}

// err returns all problems as one error, nil when there is none.
func (p *problems) err() error { return errors.Join(p.list...) }

// index is the name of one entry of a list.
func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// quoted shows a value in an error, cut where it is long.
func quoted(s string) string {
	const most = 200
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + " ..."
	}
	return strconv.QuoteToASCII(s)
}
