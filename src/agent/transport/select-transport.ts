import { NAME_HEADER } from '../../rpc/http2/connection-name.js';
import type { FindDirect } from '../../rpc/http2/direct-server.js';
import type { FaultyLink } from '../faulty-link.js';
import type { LinkSpeed } from '../link-limit.js';
import { faultyTransport, slowTransport } from './delayed-transport.js';
import { pullDirectly, serveDirectly } from './direct-transport.js';
import { grpcTransport } from './grpc-transport.js';
import type { PeerTransport } from './peer-transport.js';

export interface TransportOptions {
  /** How the streams from other nodes are read; direct by default. */
  readonly stream?: 'direct' | 'grpc-js' | undefined;
  /** Finds the connections of direct streams; left out where the server accepts none. */
  readonly findDirect?: FindDirect | undefined;
  /** Limit on each stream to another node; null or undefined for none. */
  readonly interNodeLink?: LinkSpeed | null;
  /** Injects faults into all traffic with other nodes; null or undefined for none. */
  readonly faultyLink?: FaultyLink | null;
}

/** Picks the transport by which this node reads; it writes by the one that the reader's connection asks for. */
export function selectTransport(options: TransportOptions): PeerTransport {
  const { stream, findDirect, interNodeLink, faultyLink } = options;
  // A fault holds bytes back, but a direct stream would read them into their destination at once.
  const isDirect = stream !== 'grpc-js' && faultyLink == null;
  let transport: PeerTransport = {
    pull: isDirect ? pullDirectly : grpcTransport.pull,
    serve(call) {
      const [name] = call.metadata.get(NAME_HEADER);
      const connection = name === undefined ? undefined : findDirect?.(String(name));
      return connection === undefined ? grpcTransport.serve(call) : serveDirectly(call, connection);
    },
  };
  if (faultyLink != null) transport = faultyTransport(transport, faultyLink);
  if (interNodeLink != null) transport = slowTransport(transport, interNodeLink);
  return transport;
}
