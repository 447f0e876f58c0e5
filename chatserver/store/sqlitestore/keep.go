package sqlitestore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// copies is how many of a damaged file, and of a damaged log, are kept.
const copies = 3

const damagedMark = ".damaged-"

// damagedName returns the name that a damaged file is kept under.
func damagedName(name string) string {
	return name + damagedMark + time.Now().UTC().Format("20060102T150405.000000000")
}

// keep gives the damaged file, and its log, another name.
func keep(path string) error {
	name := damagedName(path)
	for _, suffix := range []string{"", "-wal"} {
		if err := os.Link(path+suffix, name+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	prune(path)
	return nil
}

// prune removes all but the newest damaged files that were kept under the
// name, each with its log. Those that it cannot remove stay.
func prune(name string) {
	dir, base := filepath.Split(name)
	base += damagedMark
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	var kept []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), base) {
			kept = append(kept, strings.TrimSuffix(e.Name(), "-wal"))
		}
	}
	slices.Sort(kept)
	kept = slices.Compact(kept)
	for _, k := range kept[:max(0, len(kept)-copies)] {
		removeAll(filepath.Join(dir, k), filepath.Join(dir, k+"-wal"))
	}
}
