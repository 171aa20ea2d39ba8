import type { Log } from './progress.d.mts';

/** Path of Dawn's bindings for Node, `dawn.node`: LOCMOE_WEBGPU, or the one that `fetchWebGpu` fetched. */
export function findWebGpu(): string | null;
/** Names of the files by which drivers for Vulkan are found on this machine. */
export function vulkanDrivers(): string[];
/** Fetches the library if there is none. Logs the reason if it cannot; never throws. */
export function setupWebGpu(log: Log): Promise<void>;
/**
 * Fetches the library into webgpu/, whether or not there is one.
 *
 * @throws an Error with one line of advice
 */
export function fetchWebGpu(log: Log): Promise<void>;
