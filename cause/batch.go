package cause

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
)

// Encode writes writes for the store: JSON, deflated.
func Encode(writes []Write) ([]byte, error) {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("encode causes: %w", err)
	}
	if err := json.NewEncoder(w).Encode(writes); err != nil {
		return nil, fmt.Errorf("encode causes: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode causes: %w", err)
	}
	return buf.Bytes(), nil
}

// Decode reads what Encode writes.
func Decode(data []byte) ([]Write, error) {
	var writes []Write
	if err := json.NewDecoder(flate.NewReader(bytes.NewReader(data))).Decode(&writes); err != nil {
		return nil, fmt.Errorf("decode causes: %w", err)
	}
	return writes, nil
}
