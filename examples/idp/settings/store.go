package settings

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/doorward/doorward/storage/postgres"
)

// storePlace is what one source of settings says about the store, with the names by
// which that source calls it.
type storePlace struct {
	path, dsn, dsnFile string
	secretFiles        []string

	pathName, dsnName, dsnFileName, secretsName string
}

// takeStore puts what a source says into the settings. A source that names a place
// replaces the place of the one below it, and so it is with the secrets.
func (s *Settings) takeStore(p storePlace, found *Problems) {
	var named []string
	for _, one := range []struct{ value, name string }{{p.path, p.pathName}, {p.dsn, p.dsnName}, {p.dsnFile, p.dsnFileName}} {
		if one.value != "" {
			named = append(named, one.name)
		}
	}
	if len(named) > 1 {
		found.add(s.at.line(named[1]), named[1], strings.Join(named, " and "), "leave one of them: the state is in one place")
	}
	if len(named) > 0 {
		s.Store, s.Postgres, s.databaseAt = p.path, p.dsn, p.dsnName
	}
	if p.dsnFile != "" {
		s.databaseAt = p.dsnFileName
		body, err := readBounded(p.dsnFile)
		s.Postgres = string(bytes.TrimSpace(body))
		switch {
		case err != nil:
			found.addError(s.at.line(p.dsnFileName), p.dsnFileName, err, "write the path of a file that can be read")
		case s.Postgres == "":
			found.add(s.at.line(p.dsnFileName), p.dsnFileName, "an empty file", "put a DSN there, as in postgres://doorward@db.internal/product?sslmode=verify-full")
		default:
			if advice := openToOthers(p.dsnFile); advice != "" {
				found.add(s.at.line(p.dsnFileName), p.dsnFileName, foundOpen, advice)
			}
		}
	}
	if len(p.secretFiles) > 0 {
		s.Secrets, s.secretsNamed = nil, true
	}
	for i, name := range p.secretFiles {
		s.secret(index(p.secretsName, i), name, found)
	}
}

// secret reads a file with a secret that wraps the keys of the store. The file may be the
// key file of a database, whose secret is what its digits stand for; a secret that only
// looks like one is tried too.
func (s *Settings) secret(field, path string, found *Problems) {
	if advice := openToOthers(path); advice != "" {
		found.add(s.at.line(field), field, foundOpen, advice)
		return
	}
	body, err := readBounded(path)
	body = bytes.TrimSpace(body)
	switch {
	case err != nil:
		found.addError(s.at.line(field), field, err, "write the path of a file that can be read")
	case len(body) < 32:
		found.add(s.at.line(field), field, strconv.Itoa(len(body))+" bytes in it", "put at least 32 random bytes there, as from: openssl rand -base64 48")
	default:
		if key := make([]byte, hex.DecodedLen(len(body))); len(key) == 32 {
			if _, err := hex.Decode(key, body); err == nil {
				s.Secrets = append(s.Secrets, key)
			}
		}
		s.Secrets = append(s.Secrets, body)
	}
}

const foundOpen = "a file that other users can read"

// openToOthers says how to keep a file from other users, when they can read it. Its group
// may, as where secrets are mounted into a container.
func openToOthers(path string) (advice string) {
	const others = 0o027
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode().Perm()&others == 0 {
		return ""
	}
	return fmt.Sprintf("run chmod 640 %q, or 600 (its mode is %04o), and change what is in it if somebody may have read it", path, info.Mode().Perm())
}

// checkStore completes what was said about the store.
func (s *Settings) checkStore(found *Problems) {
	if s.Postgres == "" {
		if s.Store == "" && s.databaseAt == "" {
			s.Store = DefaultStore
		}
		return
	}
	place, err := postgres.Place(s.Postgres)
	if err != nil {
		found.addError(s.at.line(s.databaseAt), s.databaseAt, err, "write one such as postgres://doorward@db.internal/product?sslmode=verify-full")
	}
	s.place = place
	if !s.secretsNamed {
		found.add(s.at.line("store"), "store.secret_files", "no secret for "+cmp.Or(place, "PostgreSQL"),
			"write a secret of 32 random bytes or more into a file, as from: openssl rand -base64 48, and name it here or by --secret-file; PostgreSQL keeps none beside itself, and all replicas need the same")
	}
}

// Place names where the state is kept, for messages.
func (s *Settings) Place() string {
	if s.Postgres != "" {
		return cmp.Or(s.place, "PostgreSQL")
	}
	return s.Store
}

// SocketName is the name of the admin socket where no database file gives it one:
// replicas of the same database have the same, those of others another.
func (s *Settings) SocketName() string {
	sum := sha256.Sum256([]byte(s.place))
	return "doorward-" + hex.EncodeToString(sum[:4]) + ".sock"
}
