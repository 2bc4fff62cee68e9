//go:build !linux

package sqltest

import "os"

func fdatasync(f *os.File) error { return f.Sync() }
