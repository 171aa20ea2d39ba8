/** Limits on what a client costs a server, whether it has named its connection (connection-name.ts) or not. */
export const CONNECTION_LIMITS = {
  /** Connections that may be open without an accepted call; beyond, each new one costs the oldest its place. */
  strangers: 250,
  /** Time in ms until the first accepted call of a connection. */
  acceptMs: 10_000,
  /** Bytes that a connection may receive before its first accepted call, those of the handshake of TLS included. */
  acceptBytes: 1 << 16,
  /** Closed ones before a line tells of them: gRPC leaves one open where a client is closed while it connects. */
  strangersUntold: 9,
  /** Bytes of the client's first frame, which it sends before it knows the server's settings. */
  openingBytes: 16_384,
};
