//go:build invariants

package view

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
)

// seal holds what an object was when it entered the view.
type seal uint64

var sealSeed = maphash.MakeSeed()

func sealOf(e *Entry) seal {
	data, err := json.Marshal(e.Object)
	if err != nil {
		panic(fmt.Sprintf("seal %s: %v", e.Key, err))
	}
	return seal(maphash.Bytes(sealSeed, data))
}

// check panics if somebody changed an object that all share.
func (e *Entry) check() {
	if e.seal != sealOf(e) {
		panic(fmt.Sprintf("%s %s was changed while it was in the view: whoever got it must DeepCopy first", e.Info.GVK.Kind, e.Key))
	}
}
