import { findWebGpu, vulkanDrivers } from '../scripts/webgpu.mjs';

/** Whether a graphics device is here, or a driver that stands in for one. */
export const HAS_WEBGPU = findWebGpu() !== null && vulkanDrivers().length > 0;
