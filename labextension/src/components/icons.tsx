/** Own 16 x 16 outlines in the text's colour, and the panel's icon. */
import { LabIcon } from '@jupyterlab/ui-components';

import panelSvg from '../../style/cellar.svg';

export const cellarIcon = new LabIcon({
  name: 'cellar:chat',
  svgstr: panelSvg
});

const PATHS = {
  add: 'M8 3v10M3 8h10',
  history: 'M3 8a5 5 0 1 0 1.6-3.7M3 2.8v2.4h2.4M8 5.2V8l2 1.4',
  copy: 'M5.5 5.5V3.2a.7.7 0 0 1 .7-.7h6.6a.7.7 0 0 1 .7.7v6.6a.7.7 0 0 1-.7.7h-2.3M3.2 5.5h6.6a.7.7 0 0 1 .7.7v6.6a.7.7 0 0 1-.7.7H3.2a.7.7 0 0 1-.7-.7V6.2a.7.7 0 0 1 .7-.7Z',
  check: 'M3 8.5 6.5 12 13 4.5',
  edit: 'M10.8 3.2 12.8 5.2 5.6 12.4 3 13l.6-2.6ZM9.4 4.6l2 2',
  again: 'M13 8a5 5 0 1 1-1.6-3.7M13 2.8v2.4h-2.4',
  left: 'M9.8 3.8 5.6 8l4.2 4.2',
  right: 'M6.2 3.8 10.4 8l-4.2 4.2',
  down: 'M8 3v9.5M4 8.7l4 4 4-4',
  fold: 'M6 4l4 4-4 4',
  stop: 'M4.5 4.5h7v7h-7Z',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  receipt: 'M4 2.5h8v11l-1.6-1-1.2 1L8 12.5l-1.2 1-1.2-1-1.6 1ZM6 5.5h4M6 8h4'
} as const;

export type IconName = keyof typeof PATHS;

export function Icon(props: { name: IconName }): JSX.Element {
  return (
    <svg
      className="jp-Cellar-icon"
      viewBox="0 0 16 16"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[props.name]} />
    </svg>
  );
}

export interface IIconButtonProps {
  name: IconName;
  label: string;
  onClick(): void;
  /** stays where it is and keeps the focus, but does nothing */
  disabled?: boolean;
  pressed?: boolean;
}

export function IconButton(props: IIconButtonProps): JSX.Element {
  return (
    <button
      type="button"
      className="jp-Cellar-iconButton"
      title={props.label}
      aria-label={props.label}
      aria-pressed={props.pressed}
      aria-disabled={props.disabled || undefined}
      data-way={props.name}
      onClick={props.disabled ? undefined : props.onClick}
    >
      <Icon name={props.name} />
    </button>
  );
}
