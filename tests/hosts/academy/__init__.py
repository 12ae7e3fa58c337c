"""The application of an academy, which plans its students' work with the package."""
