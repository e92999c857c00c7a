/** The two kinds of buttons: a word in a frame, and an icon with a name for readers. */
import { lockIcon, type LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

export interface ITextButtonProps {
  label: string;
  act(): void;
  /** what it does, where its label does not say it all */
  title?: string;
  disabled?: boolean;
  className?: string;
}

export function TextButton(props: ITextButtonProps): JSX.Element {
  return (
    <button
      type="button"
      className={`jp-Cellar-button ${props.className ?? ''}`}
      title={props.title}
      disabled={props.disabled}
      onClick={props.act}
    >
      {props.label}
    </button>
  );
}

export interface IIconButtonProps {
  icon: LabIcon;
  label: string;
  act(): void;
  /** stays where it is and keeps the focus, but does nothing */
  disabled?: boolean;
  /** why it does nothing now */
  why?: string;
  /** why an admin locked it; null or left out: it is not locked */
  lock?: string | null;
  expanded?: boolean;
  className?: string;
}

export const IconButton = React.forwardRef<HTMLButtonElement, IIconButtonProps>(
  (props, ref) => {
    const { icon: Icon, label, act, disabled = false, lock = null } = props;
    const locked = lock !== null;
    return (
      <button
        ref={ref}
        type="button"
        className={`jp-Cellar-iconButton ${props.className ?? ''}`}
        title={lock ?? (disabled && props.why ? props.why : label)}
        aria-label={locked ? `${label}: ${lock}` : label}
        aria-disabled={locked || disabled || undefined}
        aria-expanded={props.expanded}
        onClick={event => {
          event.stopPropagation();
          if (!locked && !disabled) {
            act();
          }
        }}
      >
        <Icon.react tag="span" />
        {locked ? (
          <lockIcon.react tag="span" className="jp-Cellar-lock" />
        ) : null}
      </button>
    );
  }
);
IconButton.displayName = 'IconButton';
