// The server gives out uPlot's own module here; import maps would need an inline script.
export { default } from 'uplot';
