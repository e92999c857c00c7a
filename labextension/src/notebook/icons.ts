import { LabIcon } from '@jupyterlab/ui-components';

/** A speech bubble with a spark: what asks Cellar about the thing beside it. */
export const askIcon = new LabIcon({
  name: 'cellar:ask',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><path class="jp-icon3" fill="#616161" d="M4 3h16a2 2 0 0 1 2 2v11a2 2 0 0 1-2 2H9l-5 4v-4a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm0 2v11h2v2l2.500-2H20V5zm8 1.200l1.100 3.200 3.200 1.100-3.200 1.100L12 14.800l-1.100-3.200-3.200-1.100 3.200-1.100z"/></svg>'
});
