"""The files of the repository, for the formatter and the lint."""

import os

# What is not ours, or not a source. (Not asked of git: a tarball and a foreign checkout work
# alike.)
SKIPPED_FOLDERS = {".git", ".cache", "__pycache__", "out"}


def repository_root():
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def repository_files(root):
    """The paths of all files, from the root, sorted. Symbolic links are left out."""
    paths = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in SKIPPED_FOLDERS]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                paths.append(os.path.relpath(path, root))
    return sorted(paths)
