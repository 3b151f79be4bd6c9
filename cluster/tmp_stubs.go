package cluster

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
)

type AgentConfig struct{ Server, Token, NodeName, NodeListen, DataDir string }

func DefaultAgentConfig() AgentConfig {
	d := DefaultConfig(DefaultName)
	return AgentConfig{NodeName: d.NodeName, NodeListen: d.NodeListen, DataDir: "/var/lib/skiff/agent"}
}
func RunAgent(ctx context.Context, c AgentConfig, log *slog.Logger) error { return nil }
func teardown(ctx context.Context, c Config, p Progress) error            { return nil }
func (s *server) startNode(parts *components)                             {}
func isBridge(name string) bool                                           { return strings.HasPrefix(name, "skiff") }
func ReadSettings(file string) (Config, error)                            { return LoadConfig(Paths{Data: filepath.Dir(file)}) }
