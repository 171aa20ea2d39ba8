import type { ClusterConfig } from '../config/schema.js';
import { formatCount } from '../format.js';
import { MAX_FRAME_PAYLOAD_BYTES } from '../rpc/frame-codec.js';

/**
 * A warning for a configured link on which one frame may take longer than the deadline of a collective, as
 * nothing seems to move meanwhile. Null if every frame arrives in time or there is no such link.
 */
export function slowLink({ nodes, interNodeLink, collectiveTimeoutS }: ClusterConfig): string | null {
  if (nodes === 1 || interNodeLink === null) return null;
  const { gbps, latencyMs } = interNodeLink;
  const bytes = Math.max(0, Math.floor(((collectiveTimeoutS - latencyMs / 1000) * gbps * 1e9) / 8));
  if (bytes >= MAX_FRAME_PAYLOAD_BYTES) return null;
  return `cluster.interNodeLink lets ${formatCount(bytes)} bytes pass in ${collectiveTimeoutS} s, and a collective fails in which nothing arrives for that long: raise it or cluster.collectiveTimeoutS`;
}
