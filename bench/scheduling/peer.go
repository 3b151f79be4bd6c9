package scheduling

// PeerRate is what upstream's core does on a case, as its process tells.
type PeerRate struct {
	Case string  `json:"case"`
	Rate float64 `json:"rate"` // pods a second
}
