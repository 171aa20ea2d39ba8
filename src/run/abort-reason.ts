/** Formats why all nodes end a generation, for coordinator and agents: the rank, then its message. */
export function abortReason(rank: number, message: string): string {
  return `rank ${rank}: ${message}`;
}

/**
 * Completes a sentence of a rank or a node that ends because another one failed: "... because of rank 2". The log has
 * that failure already, so it is not repeated; a reason that names neither a rank nor a node is given in full.
 */
export function becauseOf(reason: string): string {
  const other = /^(?:rank|node) \d+\b/.exec(reason)?.[0];
  return other === undefined ? `: ${reason}` : ` because of ${other}`;
}
