package volume

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
)

// sectorSize is the unit of what stat(2) says of the room that a file takes.
const sectorSize = 512

// Usage returns the bytes that a folder takes on its disk with all that is in it,
// and how many files and folders that is. Files that go meanwhile do not count.
func Usage(dir string) (bytes, files int64, err error) {
	seen := map[uint64]bool{} // files with several names count once
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				stat, ok := info.Sys().(*syscall.Stat_t)
				if ok && !seen[stat.Ino] {
					seen[stat.Ino] = stat.Nlink > 1 && !d.IsDir()
					bytes += stat.Blocks * sectorSize
					files++
				}
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return bytes, files, err
}
