/** Icons that JupyterLab has none of. */
import { LabIcon } from '@jupyterlab/ui-components';

import panelSvg from '../../style/cellar.svg';

export const cellarIcon = new LabIcon({
  name: 'cellar:chat',
  svgstr: panelSvg
});

export const clipIcon = filled(
  'cellar:attach',
  'M16.5 6v11.5a4 4 0 0 1-8 0V5a2.5 2.5 0 0 1 5 0v10.5a1 1 0 0 1-2 0V6H10v9.5a2.5 2.5 0 0 0 5 0V5a4 4 0 0 0-8 0v12.5a5.5 5.5 0 0 0 11 0V6z'
);

export const sendIcon = filled(
  'cellar:send',
  'M12 4l-7 7 1.4 1.4L11 7.8V20h2V7.8l4.6 4.6L19 11z'
);

/** As JupyterLab draws its own: 24 wide, in the colour of the theme. */
function filled(name: string, path: string): LabIcon {
  return new LabIcon({
    name,
    svgstr: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><path class="jp-icon3" fill="#616161" d="${path}"/></svg>`
  });
}
