import { lockIcon, type LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

export interface IIconButtonProps {
  icon: LabIcon;
  label: string;
  act(): void;
  /** why an admin locked it; null or left out: it is not locked */
  lock?: string | null;
  expanded?: boolean;
  className?: string;
}

export const IconButton = React.forwardRef<HTMLButtonElement, IIconButtonProps>(
  (props, ref) => {
    const { icon: Icon, label, act, lock = null, expanded } = props;
    const locked = lock !== null;
    return (
      <button
        ref={ref}
        type="button"
        className={`jp-Cellar-iconButton ${props.className ?? ''}`}
        title={lock ?? label}
        aria-label={locked ? `${label}: ${lock}` : label}
        aria-disabled={locked || undefined}
        aria-expanded={expanded}
        onClick={event => {
          event.stopPropagation();
          if (!locked) {
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
