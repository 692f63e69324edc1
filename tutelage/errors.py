"""The exception tree. Everything a person can cause or mend is a `TutelageError`; the rest is a bug of ours.

    TutelageError
    ├── UsageError (ValueError)         wrong words on the command line               exit 2
    ├── ConfigError (ValueError)        an unknown key, a wrong type, a value out of range    exit 2
    ├── ShapeError (ValueError)         tensors that do not fit together
    ├── DataError (ValueError)          a file or a row that cannot be read
    ├── TemplateError (ValueError)      a chat template that cannot be rendered or masked
    ├── ModelError (ValueError)         a model that is missing, unreachable, corrupt or of the wrong kind
    ├── RewardError (ValueError)        a reward that is not finite or not one number a sample
    ├── StoreError (ValueError)         the feedback database refused
    │   └── StoreUnavailable            it is locked, full, read-only or out of reach just now
    ├── ProjectError (ValueError)       no project here, or not a usable one
    │   └── LockedError                 another command is at work in this project
    ├── ArtifactError (ValueError)      an artifact that is missing, changed or half of one
    ├── ResumeError (ValueError)        a run that cannot be continued as it was begun
    ├── PreflightError (ValueError)     a check before the first step failed
    ├── PlanError (ValueError)          a run that needs more memory or disk than there is
    ├── DiskError (RuntimeError)        the disk refused: full, read-only, no right to write
    └── TrainingError (RuntimeError)    a loss, gradient or reward stopped being finite

Every message says what happened, what was got, what was wanted and what to do about it.
"""


class TutelageError(Exception):
    """Base of all errors a user can cause or mend. `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(TutelageError, ValueError):
    exit_code = 2


class ConfigError(TutelageError, ValueError):
    exit_code = 2


class ShapeError(TutelageError, ValueError):
    pass


class DataError(TutelageError, ValueError):
    pass


class TemplateError(TutelageError, ValueError):
    pass


class ModelError(TutelageError, ValueError):
    pass


class RewardError(TutelageError, ValueError):
    pass


class StoreError(TutelageError, ValueError):
    pass


class StoreUnavailable(StoreError):
    pass


class ProjectError(TutelageError, ValueError):
    pass


class LockedError(ProjectError):
    pass


class ArtifactError(TutelageError, ValueError):
    pass


class ResumeError(TutelageError, ValueError):
    pass


class PreflightError(TutelageError, ValueError):
    pass


class PlanError(TutelageError, ValueError):
    pass


class DiskError(TutelageError, RuntimeError):
    pass


class TrainingError(TutelageError, RuntimeError):
    pass
