package resource

// All lists every built-in kind. The order is that of discovery.
func All() []*Info {
	return []*Info{
		ConfigMaps.Info,
	}
}
