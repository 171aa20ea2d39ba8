// Logs over HTTP: Loki's API, and the server that carries it and whatever else a program serves.
export {
  type HttpAddress,
  type HttpFeature,
  type HttpServer,
  type HttpServerOptions,
  type SocketHandler,
  startHttpServer,
} from './http/http-server.js';
export { isLoopback } from './http/loopback.js';
export { lokiFeature } from './loki/loki-feature.js';
