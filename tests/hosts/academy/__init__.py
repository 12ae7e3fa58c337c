"""An academy's application, which plans its students' work with the package."""
