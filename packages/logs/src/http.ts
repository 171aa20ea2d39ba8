// Loki's HTTP API, and a server for it and for other features of the program.

export {
  type Answer,
  type HttpAddress,
  type HttpFeature,
  type HttpServer,
  type HttpServerOptions,
  type SocketHandler,
  startHttpServer,
} from './http/http-server.js';
export { isLoopback } from './http/loopback.js';
export { pageFiles, type SendFile } from './http/page-files.js';
export { type LokiActivity, lokiFeature } from './loki/loki-feature.js';
