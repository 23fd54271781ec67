package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// table is a table in Markdown whose first column is text and whose others are figures.
type table struct{ rows [][]string }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	var b strings.Builder
	for i, cells := range t.rows {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|---" + strings.Repeat("|--:", len(cells)-1) + "|\n")
		}
	}
	return b.String()
}

const none = "–"

// least is a figure beside the line that it is to reach; 0: no line.
func least(figure, line float64) string {
	switch {
	case line == 0:
		return fmt.Sprintf("%.2f", figure)
	case figure >= line:
		return fmt.Sprintf("**%.2f** (≥ %.2f)", figure, line)
	}
	return fmt.Sprintf("%.2f (**misses** %.2f)", figure, line)
}

// most is a figure beside the line that it is to stay below; 0: no line.
func most(figure, line float64, format, unit string) string {
	text := fmt.Sprintf(format, figure)
	switch {
	case line == 0:
		return text + unit
	case figure <= line:
		return fmt.Sprintf("**%s** (≤ "+format+")%s", text, line, unit)
	}
	return fmt.Sprintf("%s (**misses** "+format+")%s", text, line, unit)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// ratioTable is ours divided by each peer, and why some are missing.
func ratioTable(outcomes []*outcome) string {
	var t table
	head := []string{"Doorward, durable, divided by"}
	for _, p := range programs()[1:] {
		head = append(head, p.title)
	}
	t.row(append(head, "its CPU for one, ms")...)
	for _, o := range outcomes {
		cells := []string{o.row.title}
		for _, p := range programs()[1:] {
			if o.lacks[p.name] != "" {
				cells = append(cells, none)
				continue
			}
			cells = append(cells, least(o.ratio(p.name), o.row.atLeast[p.name]))
		}
		t.row(append(cells, most(ms(medianTime(o.series[ours].cpu)), ms(o.row.cpu), "%.3f", ""))...)
	}
	text := t.String() + "\nWhy a figure is missing (–):\n\n"
	for _, m := range missings(outcomes) {
		text += fmt.Sprintf("- %s: %s (%s)\n", m.peer, m.reason, strings.Join(m.rows, "; "))
	}
	return text + failures(outcomes)
}

// failures tells what did not work.
func failures(outcomes []*outcome) string {
	text := ""
	for _, o := range outcomes {
		for _, p := range programs() {
			if s := o.series[p.name]; s != nil && s.errors > 0 {
				text += fmt.Sprintf("- %s, %s: %d of %d failed, first: %v\n", p.title, o.row.title, s.errors, s.errors+s.total, s.err)
			}
		}
	}
	if text == "" {
		return "\nNothing failed.\n"
	}
	return "\nWhat failed:\n\n" + text
}

// missing is why a peer has no figure in some rows.
type missing struct {
	peer, reason string
	rows         []string
}

// missings puts the rows of a peer that are missing for the same reason together.
func missings(outcomes []*outcome) []*missing {
	var all []*missing
	for _, p := range programs()[1:] {
		for _, o := range outcomes {
			reason := o.lacks[p.name]
			if reason == "" {
				continue
			}
			at := slices.IndexFunc(all, func(m *missing) bool { return m.peer == p.title && m.reason == reason })
			if at < 0 {
				at = len(all)
				all = append(all, &missing{peer: p.title, reason: reason})
			}
			all[at].rows = append(all[at].rows, o.row.title)
		}
	}
	return all
}

// figureTable is what was measured of each server. Absolute figures are those of the
// machine and the minute.
func figureTable(outcomes []*outcome) string {
	var t table
	t.row("operation", "server", "a second", "p50 ms", "p95 ms", "p99 ms", "max ms", "errors", "CPU ms", "RSS MiB", "RssAnon MiB", "written KiB", "kept KiB", "syncs")
	for _, o := range outcomes {
		for _, p := range programs() {
			s := o.series[p.name]
			if s == nil {
				continue
			}
			written, kept, syncs := none, none, none
			if p.files {
				written = fmt.Sprintf("%.2f", s.each(float64(s.used.written)/1024))
				kept = fmt.Sprintf("%.2f", s.each(float64(s.stats.Live)/1024))
			}
			if s.stats.Counted {
				syncs = fmt.Sprintf("%.3f", s.each(float64(s.stats.Syncs)))
			}
			t.row(o.row.title, p.title, fmt.Sprintf("%.0f", medianOf(s.perSecond)),
				fmt.Sprintf("%.2f", ms(s.at(0.5))), fmt.Sprintf("%.2f", ms(s.at(0.95))), fmt.Sprintf("%.2f", ms(s.at(0.99))), fmt.Sprintf("%.1f", ms(s.max)),
				fmt.Sprint(s.errors), fmt.Sprintf("%.3f", ms(medianTime(s.cpu))), fmt.Sprintf("%.0f", mib(s.used.rss)), fmt.Sprintf("%.0f", mib(s.used.anonymous)), written, kept, syncs)
		}
	}
	return t.String()
}

func aloneTable(all []*alone) string {
	var t table
	t.row("one connection, median", "Doorward", "that is", "commits for one", "node oidc-provider", "bare fosite")
	for _, a := range all {
		commits := "a commit"
		if a.commits > 1 {
			commits = fmt.Sprintf("%d commits", a.commits)
		}
		t.row(a.title, most(ms(a.servers[ours]), ms(a.line()), "%.2f", " ms"),
			fmt.Sprintf("%s and %.2f ms, of %.2f", commits, ms(a.servers[ours]-time.Duration(a.commits)*a.commit), ms(a.more)),
			fmt.Sprintf("%.2f", a.counted), fmt.Sprintf("%.2f ms", ms(a.servers["node"])), fmt.Sprintf("%.2f ms", ms(a.servers["fosite"])))
	}
	commit := ""
	if len(all) > 0 {
		commit = fmt.Sprintf("\nA commit of one record of 400 bytes by bbolt alone took %.2f ms in between.\n", ms(all[0].commit))
	}
	return t.String() + commit
}

func footprintTable(all []*footprint, flows int) string {
	var t table
	t.row(fmt.Sprintf("memory and disk, after %d client credentials and %d signed-in flows", flows, flows),
		"RssAnon at rest, MiB", "RssAnon after, MiB", "RSS after, MiB", "kept on disk for a flow, KiB", "written for a flow, KiB", "commits for a flow", "syncs for a flow")
	for _, f := range all {
		line := func(mine float64) float64 {
			if f.name != ours {
				return 0
			}
			return mine
		}
		kept, written, commits, syncs := none, none, none, none
		if f.disk {
			kept = most(f.flows.each(float64(f.flows.stats.Live)/1024), line(3), "%.2f", "")
			written = fmt.Sprintf("%.1f", f.flows.each(float64(f.flows.used.written)/1024))
		}
		if f.flows.stats.Counted {
			commits = fmt.Sprintf("%.3f", f.flows.each(float64(f.flows.stats.Commits)))
			syncs = most(f.flows.each(float64(f.flows.stats.Syncs)), line(1), "%.3f", "")
		}
		p, err := findProgram(f.name)
		if err != nil {
			p.title = f.name
		}
		t.row(p.title, most(mib(f.atRest.anonymous), line(15), "%.1f", ""), most(mib(f.after.anonymous), line(40), "%.1f", ""),
			fmt.Sprintf("%.1f", mib(f.after.rss)), kept, written, commits, syncs)
	}
	return t.String()
}
