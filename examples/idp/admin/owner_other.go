//go:build !unix

package admin

import "io/fs"

// foreign knows no owners here.
func foreign(fs.FileInfo, fs.FileInfo, int) bool { return false }
