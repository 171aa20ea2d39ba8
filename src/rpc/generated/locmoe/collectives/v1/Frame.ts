// Original file: proto/collectives.proto


export interface FrameInput {
  'generation'?: (number);
  'operation'?: (number);
  'sections'?: (number)[];
  'payload'?: (Buffer | Uint8Array | string);
}

/**
 * At most 1 MiB of payload. Encoded by hand in src/rpc/frame-codec.ts.
 */
export interface Frame {
  'generation': (number);
  /**
   * Sequence number of the collective operation that the payload belongs to.
   */
  'operation': (number);
  /**
   * Quadruples (source rank, destination rank, stream offset of the pair modulo 2^32, length in bytes), in
   * payload order.
   */
  'sections': (number)[];
  'payload': (Buffer);
}
