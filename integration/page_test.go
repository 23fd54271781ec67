package integration

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/doorward/doorward/storage"
)

// page keeps a page under a name, shows it again as the Back button does, opens its
// address anew, or posts to where its form goes from anywhere.
func (s *scene) page(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: page keep|show|same|open|post NAME")
	}
	if args[0] == "keep" {
		s.pages[args[1]] = s.at.last
		return nil
	}
	page := s.pages[args[1]]
	if page == nil {
		return fmt.Errorf("no page was kept as %s", args[1])
	}
	s.world.journal.turn()
	switch args[0] {
	case "show":
		return s.take(page, nil)
	case "same":
		if s.at.last.at.Path != page.at.Path {
			return fmt.Errorf("this is %s, not %s", s.at.last.at, page.at)
		}
		return nil
	case "open":
		return s.take(s.at.open(page.at.String()))
	case "post":
		extra, args := option(args[2:], "-H")
		fields, err := pairs(args)
		if err != nil {
			return err
		}
		header := headers(extra)
		header.Set("Content-Type", "application/x-www-form-urlencoded")
		return s.take(send(s.at.client, http.MethodPost, page.at.String(), header, fields.Encode()))
	default:
		return fmt.Errorf("page %s is no word of a script", args[0])
	}
}

// described are the characters of an error_description. RFC 6749 §5.2
var described = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]+$`)

// explained holds a refusal to what every refusal promises: a code, words in the
// characters that are allowed, a request ID that the log has, and a link to a place
// on the page of errors that is there.
func (s *scene) explained([]string) error {
	if s.last.status < 400 || s.last.text("error") == "" {
		return fmt.Errorf("this is no refusal: %s", s.last)
	}
	if text := s.last.text("error_description"); !described.MatchString(text) {
		return fmt.Errorf("the description %q is empty or has characters that RFC 6749 does not allow", text)
	}
	place, err := url.Parse(s.last.text("error_uri"))
	if err != nil || place.Fragment == "" {
		return fmt.Errorf("the error_uri leads to no entry: %s", s.last)
	}
	anchor := place.Fragment
	place.Fragment = ""
	answer, err := send(&http.Client{Transport: s.world}, http.MethodGet, place.String(), nil, "")
	if err != nil {
		return err
	}
	if answer.status != http.StatusOK || !strings.Contains(string(answer.body), `id="`+anchor+`"`) {
		return fmt.Errorf("the page of errors has no entry %q", anchor)
	}
	id := s.last.header.Get("X-Request-Id")
	if id == "" || !strings.Contains(string(s.world.journal.all()), id) {
		return fmt.Errorf("the log does not have the request ID %q", id)
	}
	if reasons := s.world.journal.reasons(); len(reasons) != 1 {
		return fmt.Errorf("the log names the reasons %q; one line should say why", reasons)
	}
	return nil
}

// client changes the clients of the store while the server runs.
func (s *scene) client(args []string) error {
	ctx, clients, id := context.Background(), s.world.server.Clients(), args[1]
	switch args[0] {
	case "make":
		c := storage.Client{ID: id, RedirectURIs: []string{"https://" + id + ".test/cb"}, Scope: "openid profile offline_access"}
		if len(args) > 2 {
			c.IDTokenSignedResponseAlg = args[2]
		}
		made, secret, err := clients.Create(ctx, c)
		made.Secret = secret
		s.world.clients[id] = &made
		return err
	case "remove":
		return clients.Delete(ctx, id)
	case "disable", "enable":
		c, err := clients.Get(ctx, id)
		if err != nil {
			return err
		}
		c.Disabled = args[0] == "disable"
		_, err = clients.Update(ctx, c)
		return err
	default:
		return fmt.Errorf("client %s is no word of a script", args[0])
	}
}

// alg reads the header of a token, which jwt has verified.
func (s *scene) alg(args []string) error {
	encoded, _, _ := strings.Cut(args[0], ".")
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	if got := (&reply{body: header}).text("alg"); got != args[1] {
		return fmt.Errorf("the token is signed by %s, not %s", got, args[1])
	}
	return nil
}

func (s *scene) large(args []string) error {
	return s.post([]string{args[0], "-body", "x=" + strings.Repeat("x", 64<<10)})
}

func (s *scene) rotate([]string) error { return s.world.server.RotateKeys(context.Background()) }
