package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/doorward/doorward/examples/idp/admin"
)

func TestDatabaseCommands(t *testing.T) {
	folder := t.TempDir()
	store := filepath.Join(folder, "x.db")
	at := func(store string, args ...string) []string { return append(args, "--store", store) }
	hot, cold := filepath.Join(folder, "hot.db"), filepath.Join(folder, "cold.db")
	for _, command := range [][]string{{"backup", hot}, {"check"}, {"compact"}, {"stats"}} {
		mustFail(t, exitFailed, "there is no database "+store, at(store, command...)...)
	}
	mustFail(t, exitUsage, "<file>", at(store, "backup")...)

	r := start(t, "--listen", "localhost:0", "--store", store)
	must(t, "alices password\n", at(store, "user", "add", "alice", "--password-stdin")...)
	if out := must(t, "", at(store, "backup", hot, "--with-key")...); !strings.Contains(out, hot+".key") {
		t.Errorf("backup says %s", out)
	}
	mustFail(t, exitFailed, hot+" is there already", at(store, "backup", hot)...)
	if out := must(t, "", at(store, "check")...); !strings.HasPrefix(out, "OK: ") {
		t.Errorf("check says %s", out)
	}
	stats := func() (s admin.Stats) {
		t.Helper()
		if err := json.Unmarshal([]byte(must(t, "", at(store, "stats", "--json")...)), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := stats(); s.Commits == 0 || s.Batches == 0 || s.FileBytes == 0 || s.PageBytes == 0 || live(s, "idp.user") != 2 {
		t.Errorf("stats: %+v", s)
	}
	if out := must(t, "", at(store, "stats")...); !strings.Contains(out, "idp.user") || !strings.Contains(out, "commits for") {
		t.Errorf("stats says\n%s", out)
	}
	mustFail(t, exitFailed, "stop it first", at(store, "compact")...)
	mustFail(t, exitFailed, "in use by process", "check", store)
	r.stop()

	must(t, "", "check", hot)
	must(t, "", at(store, "backup", cold)...)
	if _, err := os.Stat(cold + ".key"); err == nil {
		t.Error("the key was copied unasked")
	}
	must(t, "", at(store, "check")...)
	if s := stats(); live(s, "idp.user") != 2 {
		t.Errorf("stats of the file: %+v", s)
	}
	before, err := os.Stat(store)
	if err != nil {
		t.Fatal(err)
	}
	must(t, "", at(store, "compact")...)
	if after, err := os.Stat(store); err != nil || after.Size() > before.Size()/10 {
		t.Errorf("%d bytes were compacted to %v: %v", before.Size(), after.Size(), err)
	}
	must(t, "", at(store, "check")...)

	// The backup that was taken while the server ran is a database as any other.
	if out := must(t, "", at(hot, "user", "list")...); !strings.Contains(out, "alice") {
		t.Errorf("the restored database has\n%s", out)
	}
	must(t, "", at(hot, "check")...)
	start(t, "--issuer", r.issuer, "--listen", "localhost:0", "--store", hot).stop()

	// Damage has an exit code and a sentence.
	raw, err := os.ReadFile(cold)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cold, raw[:len(raw)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	mustFail(t, exitFailed, cold+" is cut off", "check", cold)
}

func live(s admin.Stats, kind string) int {
	for _, k := range s.Kinds {
		if k.Kind == kind {
			return k.Live
		}
	}
	return 0
}

func TestInBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3.0 TiB", 5 << 50: "5120.0 TiB"} {
		if got := inBytes(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
