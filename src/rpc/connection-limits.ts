/** Limits on what a client costs a server, whether it has named its connection (connection-name.ts) or not. */
export const CONNECTION_LIMITS = {
  /** Connections that may be open without an accepted call; beyond, each new one costs the oldest its place. */
  strangers: 1_000,
  /** Time in ms for the handshake of TLS, and for the first SETTINGS after it. */
  silenceMs: 10_000,
  /** Bytes of the client's first frame, which it sends before it knows the server's settings. */
  openingBytes: 16_384,
  /** Bytes of the session's answers that the client leaves unread; on other connections, Node has such a limit. */
  unreadBytes: 1 << 17,
};
