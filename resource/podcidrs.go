package resource

// PodCIDRsWanted is the annotation by which a Node asks for the ranges, separated
// by commas, that its pods have their addresses from already.
const PodCIDRsWanted = "skiff.sh/pod-cidrs-wanted"
