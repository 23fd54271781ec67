package settings

import (
	"errors"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/doorward/doorward/storage"
)

// clientEntry is a client as it is written: metadata in the names of RFC 7591 §2,
// with the secret in one of three ways.
type clientEntry struct {
	storage.Client
	Secret     string `json:"client_secret"`
	SecretFile string `json:"client_secret_file"`
	SecretHash string `json:"client_secret_hash"` // argon2id or bcrypt

	// Known from registrations elsewhere. It is checked and asks for nothing that is
	// not so anyway.
	ResponseTypes []string `json:"response_types"`
}

func (s *Settings) takeClient(r *reader, at string, node *yaml.Node, beside func(string) string) {
	client, _ := readClient(r, at, node, beside) // kept in any case: problems count the entries
	s.Clients = append(s.Clients, client)
}

func readClient(r *reader, at string, node *yaml.Node, beside func(string) string) (storage.Client, bool) {
	var e clientEntry
	before := len(r.found.List)
	r.read(at, node, reflect.ValueOf(&e))
	add := func(name, found, want string) {
		field := strings.TrimPrefix(at+"."+name, ".")
		r.add(r.at.line(field), field, found, want)
	}
	client := e.Client
	client.Secret = storage.Secret(e.Secret)
	ways := 0
	for _, given := range []string{e.Secret, e.SecretFile, e.SecretHash} {
		if given != "" {
			ways++
		}
	}
	if ways > 1 {
		add("client_secret", "more than one of client_secret, client_secret_file and client_secret_hash", "leave one of them")
	}
	if e.SecretFile != "" {
		body, err := readBounded(beside(e.SecretFile))
		if err != nil {
			add("client_secret_file", "", err.Error()+"; write the path of a file that can be read")
		} else if advice := openToOthers(beside(e.SecretFile)); advice != "" {
			add("client_secret_file", foundOpen, advice)
		}
		client.Secret = storage.Secret(strings.TrimRight(string(body), "\r\n"))
	}
	if e.SecretHash != "" {
		client.Secrets = []storage.ClientSecret{{Hash: e.SecretHash}}
	}
	for _, t := range e.ResponseTypes {
		if t != "code" {
			add("response_types", quoted(t), `write "code", the only one there is here, or leave the key out`)
		}
	}
	return client, len(r.found.List) == before
}

// ReadClient reads one client, YAML or JSON in the names of RFC 7591, as
// `idp client add --file` takes it. The error is *Problems.
func ReadClient(in io.Reader, name string) (storage.Client, error) {
	found := &Problems{File: name}
	body, err := io.ReadAll(io.LimitReader(in, maxFile))
	if err != nil {
		return storage.Client{}, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(body, &doc); err != nil {
		line, text := syntax(err)
		found.add(line, "client", "", text+"; correct the JSON or YAML there")
		return storage.Client{}, found
	}
	if len(doc.Content) == 0 {
		return storage.Client{}, errors.New(name + " is empty; write the client's metadata there, as in {\"client_id\": \"web\", \"redirect_uris\": [\"https://app.example/callback\"]}")
	}
	r := &reader{at: places{}, found: found}
	client, ok := readClient(r, "", doc.Content[0], func(path string) string { return path })
	if !ok {
		return storage.Client{}, found
	}
	return client, nil
}
